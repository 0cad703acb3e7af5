"""From prompts to groups of completions: one workflow per file."""
