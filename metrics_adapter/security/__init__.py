"""Who calls, whether they may, and what this server shows them: the checks before an answer."""
