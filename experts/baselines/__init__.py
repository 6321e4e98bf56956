"""Systems to compare RSO with, each a `Recommender` in its own file; they share retriever, graph and decoding settings.

`harness.app.setup.baselines.BASELINES` names them. Systems that are trained (UniCRS, BARCOR) stand behind `trained`.
"""
