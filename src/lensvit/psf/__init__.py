"""Point spread functions: computed from physics, or a user's own; one kernel contract for all."""
