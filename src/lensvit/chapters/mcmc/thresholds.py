"""What the stages on Markov chains and the paper call agreement, enough, a start and a failure."""

# Largest R-hat of ensembles that have found the same posterior, as Vehtari et al. (2021) recommend it. Of 276 pairs of
# ensembles of the same Gaussian, each fifty autocorrelation times long, the largest was 1.008. On average it is passed
# where means lie 0.25 standard deviations apart, or where one width is 1.2 times the other.
AGREE = 1.01
ENOUGH = 200  # effective size for which the calls of a chain are given

PRIOR, NETWORK, IMPORTANCE = "prior", "network", "importance"  # starts of chains
# why a chain has not converged
REASONS = UNEXPLAINED, SHORT, DISAGREE = "unexplained", "short", "disagree"
