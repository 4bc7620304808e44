"""What several plugins share: public, documented, and free of any plugin's name."""
