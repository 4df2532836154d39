"""Tables of tasks: CSV and its kin, as spreadsheets, trackers and schedulers write them."""
