"""Systems to compare RSO with, each a `Recommender` in its own file; they share retriever, graph and decoding settings.

`harness.app.setup.baselines.BASELINES` names them. A trained language model (UniCRS, BARCOR) enters the same way: a
class with ``respond``, and one entry there.
"""
