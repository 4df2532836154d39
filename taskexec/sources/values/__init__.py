"""What written values mean: amounts, durations, words, lists; the same in every kind of source."""
