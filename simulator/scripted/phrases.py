"""What the scripted seeker says: graded moods, wishes, films, refusals, cues of its traits.

Two rules keep the texts readable for the other roles. No phrase holds a genre, a decade, a name or a word of negation
beside a wish, so that wishes are found by looking the words up in the knowledge graph. And each mood phrase belongs to
one of nine grades, which is all that the judge can see of trust and intention.
"""

from __future__ import annotations

MOODS: tuple[tuple[str, ...], ...] = (
    ("This is going nowhere for me.", "I am wasting my evening here.", "Honestly, I have had enough of this."),
    ("This is not helping me much.", "I am getting tired of this.", "We are not getting closer, are we?"),
    ("Hmm, that leaves me cold.", "I am not sure this is going anywhere.", "That does little for me."),
    ("Well, maybe.", "I suppose so.", "Hm, let me see where this goes."),
    ("Okay, fair enough.", "Alright, fine so far.", "Okay, go on."),
    ("That is a good start.", "Nice, I can work with that.", "Good, I am with you."),
    ("Oh, that sounds promising.", "Great, you are on the right track.", "I like the sound of that."),
    ("That sounds just right to me.", "Wonderful, I am nearly sold.", "Now you really have me interested."),
    ("Perfect, this is exactly it.", "Brilliant, I am completely sold.", "Fantastic, you read my mind."),
)
"""Grade 0 (gives up) to 8 (delighted)."""
SHOWN: tuple[float, ...] = (0.0, 0.12, 0.24, 0.35, 0.46, 0.57, 0.68, 0.92, 0.97)
"""The satisfaction that a phrase of each grade shows; the wide step from 6 to 7 parts interest from conviction."""

OPENINGS: tuple[str, ...] = (
    "Hi, I am looking for a film for tonight.",
    "Hello, can you find me something to watch?",
    "Good evening, I need a film to watch.",
    "Hey, I would like to watch a film later.",
)

WISH_LEADS: tuple[str, ...] = (
    "I am in the mood for {wishes}.",
    "I would love {wishes}.",
    "I want {wishes}.",
    "What I look for is {wishes}.",
)
HOPES: tuple[str, ...] = (
    "I was hoping for {wishes}.",
    "What I still look for is {wishes}.",
    "I would rather see {wishes}.",
)
WISH: dict[str, tuple[str, ...]] = {
    "genre": ("some {value}", "a bit of {value}", "something with {value}"),
    "person": ("something with {value}", "a film by or with {value}", "{value} on board"),
    "decade": ("something from the {value}", "a film made in the {value}", "the feel of the {value}"),
}

FILM_TOLD: tuple[str, ...] = (
    "I saw {item} a while ago and loved it.",
    "The last one I really enjoyed was {item}.",
    "{item} was on the other week, and I was glued to it.",
    "I have seen {item} twice, it is my kind of film.",
)
FILM_WHY: tuple[str, ...] = (
    "For me it was {wish} that did it.",
    "What got me was that it was {wish}.",
    "It worked for me as {wish}.",
)
PUZZLED: tuple[str, ...] = (
    "That is hard to put into words.",
    "Hard to say, really.",
    "Nothing comes to mind just now.",
)
ALL_SAID: tuple[str, ...] = (
    "You have heard all I wish for.",
    "That is everything I wish for.",
    "I told you all of it already.",
)

REFUSALS: tuple[str, ...] = (
    "{item} is not for me.",
    "I would rather pass on {item}.",
    "{item} is not what I have in mind.",
)
SEEN_IT: tuple[str, ...] = ("I have already seen {item}.", "{item} I know already.")
AGAIN: tuple[str, ...] = ("I already turned down {item}.", "Again {item}? I said I would pass on it.")
CLOSE: tuple[str, ...] = ("{item} comes close.", "{item} is nearly it.", "{item} goes in the right direction.")
TAKEN: tuple[str, ...] = ("{item} has all I asked for.", "{item} could be the one.", "{item} fits my wishes.")
CAUGHT: tuple[str, ...] = (
    "Wait, that is wrong about {item}, I know that film.",
    "That is made up, I know {item} well.",
)
ACCEPTS: tuple[str, ...] = (
    "I will watch {item} tonight.",
    "Sold, {item} it is.",
    "I am going with {item}, thank you.",
)
LEAVES: tuple[str, ...] = (
    "I will look on my own, goodbye.",
    "I give up, have a nice evening.",
    "I am off, thanks anyway.",
)
PUSHY: tuple[str, ...] = ("Do not rush me.", "You are pushing me.", "Slow down, I have not decided.")
REPEATED: tuple[str, ...] = ("You said that before.", "We have been there already.", "That again?")
WRONG_WISH: tuple[str, ...] = ("You got part of that wrong.", "That is mixed up.")
NO_WISH: tuple[str, ...] = ("{wish} does not matter to me.", "I never asked for {wish}, that does not matter.")
CONFIRMED: tuple[str, ...] = ("Yes, you understood me.", "Exactly, that is what I asked for.", "Right, that is it.")
PARTLY: tuple[str, ...] = ("Yes, as far as it goes.", "Right so far.")

CUES: dict[str, tuple[str, ...]] = {
    "facts": (
        "I like to know who made a film and who plays in it.",
        "Just tell me what is certain about it.",
        "Names and dates tell me more than praise.",
        "I want the hard facts first.",
    ),
    "warmth": (
        "I would love to hear how a film made you feel.",
        "What matters to me is whether it touches the heart.",
        "Tell me what it did to you.",
        "I go by what people felt while watching.",
    ),
    "attributes": (
        "Ask me about my taste, I can tell you precisely.",
        "I know what I like, just ask.",
        "I can list what I want.",
        "I forget titles the moment a film ends.",
    ),
    "films": (
        "I am better at telling what I watched.",
        "Ask me what I saw lately.",
        "I remember evenings, words for taste escape me.",
        "I could tell you about films I enjoyed.",
    ),
    "sceptical": (
        "I wonder whether you really understood me.",
        "First show me that you listened.",
        "I have heard such promises before.",
        "How do you even choose?",
    ),
    "curious": (
        "So, what would you suggest?",
        "What do you have for me?",
        "Which film would that be?",
        "Do you have one in mind?",
    ),
    "tempted": (
        "I am this close to saying yes.",
        "I am tempted, honestly.",
        "One more word and I am in.",
        "I could see myself watching it.",
    ),
}
"""What a seeker lets slip about itself: its taste, how it talks about wishes, doubt, readiness."""
