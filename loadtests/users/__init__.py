"""What users of products do, a module each: a conversation as a generator that yields what is asked
next and is sent what came of it. Pure; who asks, and when, is decided elsewhere.
"""
