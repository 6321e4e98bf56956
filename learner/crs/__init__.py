"""Recommenders that are trained on human dialogues: UniCRS and BARCOR.

One recommendation turn of UniCRS (`unicrs`):

1. A ``Query`` holds the dialogue and the nodes that it names. `texts` makes token ids of the dialogue twice, for the
   reader and for the speaker, cut on the left.
2. The reader (a frozen encoder) gives a state (W) for each of its tokens. `rgcn` gives a vector (H) for each node.
3. `fusion` joins both: one prompt vector (H) a named node. A soft prefix stands before them.
4. `prefix` makes keys and values of the prompt for every layer of the speaker, and runs the speaker behind them.
5. The last hidden state times the films' vectors are the scores (films,).
6. For the message, a second prompt (one vector a token) stands before the same speaker. It writes a sentence with
   slots; who calls fills them from the ranking.

BARCOR (`barcor`) has two sequence models instead: one whose last decoder state is classified over the nodes, and one
that writes the message. `fit` trains both systems by one loop, `store` keeps them on disk, `backbones` finds or makes
the models that they stand on.
"""
