"""Reading plans: each reader turns one kind of file into a `PlanDraft`."""
