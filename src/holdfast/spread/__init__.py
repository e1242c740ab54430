"""Data that many processes read: what each makes of its files, joined to what one would have made"""
