"""The commands, a module per subject: each reads its options, calls a job or a store, and shows the answer."""
