"""The making of one run: started or resumed, trained, drawn, measured and judged."""
