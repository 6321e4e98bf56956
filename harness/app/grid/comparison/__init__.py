"""Batch comparison: plan, planners, cells, measures, results, tables, figures; `commands.compare` runs it."""
