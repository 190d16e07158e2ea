"""Where points knows messages, timers and HTTP."""
