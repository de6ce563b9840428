"""Chapter: whether the predicted uncertainties are right, before and after recalibration."""
