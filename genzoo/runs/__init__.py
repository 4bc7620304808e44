"""Run folders: made once, never overwritten, readable while a run goes on."""
