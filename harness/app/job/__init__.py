"""The main job: its order, the conversations of a phase, the trainings, the estimate before and the summary after."""
