"""What workers have: measured, declared, and how busy it is."""

from taskexec.placement.capacity import Offer, make_offer, measure_offer, measure_offers
from taskexec.placement.load import LoadProbe

__all__ = ["LoadProbe", "Offer", "make_offer", "measure_offer", "measure_offers"]
