"""Images of real lenses: reading, checking, fitting, and what comes out."""
