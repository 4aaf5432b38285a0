"""Values as they are said, and what callers say as values again, in English and in Brazilian Portuguese."""
