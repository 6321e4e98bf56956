"""From settings to live objects: inputs, servers, models, experts, planners."""
