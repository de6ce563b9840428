"""Chapter: what each part of the training recipe brings."""
