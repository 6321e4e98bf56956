"""Dialogue acts of the recommender: how each strategy sounds, and how its sound is recognised.

The scripted actor writes by `TEMPLATES`; the scripted seeker knows nothing of templates and recognises a message by
cues (`act_of`), which also work on the free text of a language model. Recognition is right for at least 95% of template
texts (tests); on INSPIRED's human utterances it is far from that, as human labels need context. The acts are the 13
strategies of the paper's Table I, the wording is ours, with INSPIRED's examples as the idea of each.

Slots: ``{item}`` a film's name with year; ``{wishes}`` what was understood, ``{wish}`` one of it; ``{facts}`` a clause
of facts. A template with a slot that cannot be filled is not used.
"""

from __future__ import annotations

import re

NAMING: frozenset[str] = frozenset(
    ("credibility", "personal_opinion", "personal_experience", "self_modeling", "encouragement")
)
"""Strategies whose act is about one film, and so name one."""

TEMPLATES: dict[str, tuple[str, ...]] = {
    "acknowledgment": (
        "I hear you, and I value that you say it so plainly.",
        "Thank you for sharing that, it helps me a lot.",
        "That makes sense, I appreciate it.",
        "Got it, good to know.",
        "I understand, and thanks for being so clear.",
    ),
    "credibility": (
        "{item} fits: {facts}.",
        "Some facts on {item}: {facts}.",
        "Take {item}: {facts}; you can look all of that up.",
        "On record for {item}: {facts}.",
        "What is certain about {item}: {facts}.",
    ),
    "encouragement": (
        "Do give {item} a try, you will not regret it.",
        "Go for {item}, why not start it tonight?",
        "You should go ahead and put {item} on now.",
        "Give {item} a chance tonight, it is worth your evening.",
        "Come on, treat yourself to {item}, you will enjoy it.",
    ),
    "experience_inquiry": (
        "Which films have you seen lately, and how were they?",
        "What was the last film you really enjoyed?",
        "Can you tell me about a film that you watched and loved?",
        "Have you seen anything lately that stayed with you?",
        "Which film did you watch most recently, and did you like it?",
    ),
    "offer_help": (
        "I am here to help you find a film.",
        "How can I help you tonight?",
        "Let me help you to find something to watch.",
        "I am at your service, just say how I can assist.",
        "I would be glad to help you choose.",
    ),
    "opinion_inquiry": (
        "What kind of films do you like?",
        "Do you have favourite genres, actors or periods?",
        "Which genres or which people do you prefer?",
        "What are you in the mood for: which style, which names, which decade?",
        "What sort of film would you prefer today, and what do you dislike?",
    ),
    "personal_experience": (
        "When I first watched {item}, I could not look away.",
        "I remember seeing {item} with friends, and we talked about it all night.",
        "I saw {item} on a bad day once, and it lifted me up.",
        "I watched {item} with my sister, and we both sat in silence at the end.",
        "The night I saw {item} is still with me.",
    ),
    "personal_opinion": (
        "I think {item} is wonderful, every face in it feels true.",
        "Personally, I find {item} very moving.",
        "In my opinion {item} is told with a lot of heart.",
        "If you ask me, {item} is a gem with a beautiful ending.",
        "In my view {item} is tender and gripping at once.",
    ),
    "rephrase_preference": (
        "So you are looking for {wishes}, right?",
        "In other words, you want {wishes}.",
        "If I put it in my own words: you would like {wishes}.",
        "If I understood you well, it is {wishes} that you want.",
        "So it sounds like you want {wishes}, correct?",
    ),
    "self_modeling": (
        "I would watch {item} myself tonight.",
        "I am going to put {item} on again this weekend myself.",
        "{item} is what I would pick for myself.",
        "I myself would choose {item} in your place.",
        "I have {item} on my own list for this evening and will watch it myself.",
    ),
    "similarity": (
        "I share your taste: {wish} is my thing too.",
        "Same here, I am fond of {wish} as well.",
        "We are alike there, I also love {wish}.",
        "Me too, {wish} always gets me.",
        "We have the same taste then, I am all for {wish}.",
    ),
    "transparency": (
        "To be open about how I choose: I go by {wishes} and look for films that have all of it; is that right?",
        "Let me explain how I arrive at my choice: I search for {wishes}. Does that match what you want?",
        "I will be transparent: my search uses {wishes} so far, please correct me where that is wrong.",
        "Here is how I pick for you: I take {wishes} and keep what has all of it, is that what you want?",
        "The reason behind my choice would be {wishes}; tell me if I got that wrong.",
    ),
    "no_strategy": (
        "Hello there, quite an evening, is it not?",
        "I hope your day was kind to you.",
        "Such a quiet night over here.",
        "Ha, a sofa and a screen, what more does one need?",
        "The weekend cannot come soon enough, can it?",
    ),
}

PLAIN: dict[str, tuple[str, ...]] = {
    "rephrase_preference": (
        "So you are still open about what you want, right?",
        "In other words, you want something good and have named nothing fixed yet.",
    ),
    "similarity": (
        "I share your taste, I believe.",
        "Same here, I feel that way as well.",
    ),
    "transparency": (
        "To be open about how I choose: I go by what you tell me, and that is little so far.",
        "I will be transparent: my search has nothing to go by yet, please correct me if I missed it.",
    ),
}
"""What the wish-bound acts say while no wish is known."""

_CUES: tuple[tuple[str, float, str], ...] = (
    (
        "transparency",
        4,
        r"\bhow I (?:choose|arrive|get to|pick|came|decide)|\btransparent\b|reason behind my|my search",
    ),
    ("transparency", 1, r"correct me|got that wrong|does that match|\bexplain\b"),
    ("rephrase_preference", 4, r"^so,? (?:you\b|it sounds)|in other words|my own words|if I understood"),
    ("rephrase_preference", 2, r"you(?:'re| are) looking for|sounds like you|you said you|so you (?:like|want|enjoy)"),
    ("credibility", 2, r"\bdirect(?:ed|or)\b|\bstarring\b|\bcast\b|\breleased\b|\baward|\boscar|\brated\b|rotten tom"),
    ("credibility", 3, r"\bfacts on\b|on record|what is certain|\bmade in \d{4}|\bcame out in"),
    ("credibility", 1, r"\bstars\b|\bit(?: is|'s) (?:a|an|about)\b|\bplays\b|\bplot\b"),
    (
        "encouragement",
        4,
        r"\bgive\b.{1,80}\ba (?:try|chance|go|shot)\b|\bgo for\b|\bgo ahead\b|not regret|treat yourself",
    ),
    (
        "encouragement",
        3,
        r"you should|why not|you(?:'ll| will) (?:\w+ )?(?:love|enjoy|like)|check it out|try it|must.see",
    ),
    ("encouragement", 2, r"hope you (?:enjoy|like)|enjoy (?:it|the)|let me know (?:how|what)|worth (?:your|a)"),
    ("personal_experience", 4, r"\bI(?:'ve| have)? (?:just |first |once |recently )?(?:saw|watched|seen)\b|I remember"),
    ("self_modeling", 5, r"\bmyself\b"),
    ("self_modeling", 4, r"\bI(?:'d| would|'ll| will|'m going to| am going to) (?:watch|see|pick|choose|check)\b"),
    (
        "personal_opinion",
        3,
        r"\bI (?:\w+ )?(?:think|find|feel|believe|love|like|liked|loved)\b|\bin my (?:opinion|view)",
    ),
    ("personal_opinion", 3, r"\bpersonally\b|if you ask me|my favou?rite"),
    ("personal_opinion", 1, r"\b(?:great|awesome|amazing|wonderful|funny|hilarious|beautiful|gem|moving|gripping)\b"),
    ("similarity", 5, r"share your|same here|me too|we are alike|the same taste|I also\b|I agree|so do I|like you,"),
    (
        "experience_inquiry",
        4,
        r"(?:have you (?:\w+ )?(?:seen|watched)|last (?:film|movie)|did you (?:like|watch|see)).*\?",
    ),
    (
        "experience_inquiry",
        4,
        r"(?:you (?:have )?(?:watched|seen|saw)|you really enjoyed|recently (?:seen|watched)).*\?",
    ),
    (
        "opinion_inquiry",
        4,
        r"(?:what|which) (?:\w+ )?(?:kinds?|types?|sorts?|genres?|actors?|people|style|movies?) .*\?",
    ),
    (
        "opinion_inquiry",
        4,
        r"(?:favou?rite|do you (?:like|prefer|enjoy)|you prefer|in the mood for|what do you like).*\?",
    ),
    ("offer_help", 6, r"here to help|\bhelp you\b|can I help|let me help|at your service|\bassist\b|how may I"),
    (
        "offer_help",
        3,
        r"(?:recommend|suggest)\w* (?:a|some|you|something)|looking for (?:a|any|some) (?:good )?(?:film|movie)",
    ),
    (
        "acknowledgment",
        3,
        r"\bthank|\bI hear you|\bgot it\b|\bnoted\b|\bI (?:understand|see)\b|good to know|appreciate",
    ),
    (
        "acknowledgment",
        2,
        r"makes sense|(?:good|great|nice) choice|^(?:that(?:'s| is|s) )?(?:great|nice|cool|awesome|oh)\b",
    ),
)
"""(act, weight, pattern). The heaviest act wins; on a tie the one named first here."""

_COMPILED = tuple((act, weight, re.compile(pattern, re.IGNORECASE)) for act, weight, pattern in _CUES)


def act_of(text: str) -> str:
    """The strategy that a recommender's message sounds like; ``no_strategy`` where no cue is heard."""
    scores: dict[str, float] = {}
    for act, weight, pattern in _COMPILED:
        if pattern.search(text):
            scores[act] = scores.get(act, 0.0) + weight
    return max(scores, key=scores.__getitem__) if scores else "no_strategy"
