"""The scripted world: a rule-based language model that plays all roles, served over the OpenAI API on loopback.

It lets the whole system run without a GPU, lets tests be exact, and gives the planner something real to learn. It is
no reproduction of the paper's tables. It follows the agenda-based user simulators of Zhang & Balog (KDD 2020) and
UserSimCRS, and the sociable strategies of INSPIRED (Hayati et al., EMNLP 2020); words and numbers are our own.

Read in this order: ``traits``, ``acts``, ``hearing`` (texts -> meaning), ``world`` (the effects), ``user``, ``actor``,
``reasoner``, ``judge`` (the roles: sections of a prompt -> a reply), ``roles`` (which role answers a prompt),
``protocol``, ``tokens``, ``server``, ``faults`` (the HTTP side), ``trial`` (conversations without HTTP, to calibrate).
"""
