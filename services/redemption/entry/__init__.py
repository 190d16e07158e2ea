"""Where redemption knows messages, timers and HTTP."""
