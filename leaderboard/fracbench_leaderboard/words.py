"""What the words on each page mean, in Markdown."""

from __future__ import annotations


def literal(name: str) -> str:
    """A name for where Markdown is read: what a reader's program would make a link of is written as code."""
    return f"`{name}`" if "www." in name.casefold() else name


RANKING = """
- **Badges**: *control*, there to lose; *self-reported*, until `fracbench verify` has computed a sample again; what
  its training data has in common with these images.
- **Headline** (aligned robust accuracy): share of fractured-normal pairs handled right for the right reason,
  the product of its two factors. A model that always says "fracture" scores 0.
- **Tie group**: entries whose headline no test tells from that of the first in their group (label-swap permutation
  over patients or groups, Holm's correction over all pairs at .05). Entries of the same headline may lie in two
  groups: the test looks at the images, and not at the headline alone.
- **Aligned sensitivity**: share of annotated fractured images that stay correct under every attack while the
  explanation's peak lies on the fracture (within a tolerance), before and after the strongest attempt.
- **Robust specificity**: share of normal images that stay correct under every attack. Both factors also count images
  that third parties sent, which the robust balanced accuracy in the table leaves out; see the Robustness page.
- **Calibrated alignment**: relevance rank accuracy on clean images, 0 at chance and 1 at the best a map of that
  grid can reach, over the headline's explainers unless the column names one.
- **Robust alignment**, where it is measured: the same while an attack moves the explanation off the fracture and keeps
  the answer; see the model's page.
- **Pareto front**, the green line: ranked entries, controls aside, to which no other is equal or better in both
  numbers; there is no line where one entry is that. A **blind map** is one that
  looks at no model; **reader** is a second annotator, or the annotation with its tolerance.
- Intervals are 95 % (97.5 % for the two factors, so that the interval of their product holds at 95 %), by
  bootstrap over patients or groups, never within Wilson's (his alone where successes, failures or groups are few).
"""

ROBUSTNESS = """
- **Robust**: correct on the clean image and under every attack of the benchmark. **Worst case**: also under images that
  third parties sent and that were verified here.
- **Missed fractures**: of the fractured images that are right without an attack, the share an attack makes normal.
  **False alarms**: of the normal ones, the share it makes fractured.
- **Sens. at 90 % spec.**: sensitivity at the lowest threshold that keeps nine of ten normal images right, clean and
  under attack, so that models of any calibration can be compared.
- **Median adv. eps.**, the median adversarial epsilon: half the images of a class have an adversarial image nearer
  than this, in units of 1/255 (linf) or as a distance (l2); misclassified images count as 0. *Not reached*: at
  least half were never broken. It is an upper bound: a better attack finds nearer ones.
- **Curve area**: under the curve, over log2(epsilon): 1 for a model that nothing breaks, and 0.5 for one that always
  gives the same answer, since half of the balance stays right.
- **Passes**: images sent forward and backward through the model, for each image attacked.
"""

ALIGNMENT = """
- **Raw**: the mean score over annotated fractured images. **Chance**: what a map that knows nothing scores on them.
  **Ceiling**: what the annotation itself scores once it is as coarse as the explainer's maps.
- **Calibrated**: (raw - chance) / (ceiling - chance), so 0 is chance, 1 the best that maps of that grid can do, and
  below 0 is worse than chance. A dash stands where ceiling and chance are closer than 0.05. **instance_hit** is such
  a case on maps of full resolution: so many pixels lie within the tolerance of a fracture that among them noise nearly
  always has one of its highest 1 %. Chance is close to 1 there, and a raw score of 1 says nothing.
- **pointing_game**: the map's maximum lies on the fracture.
- **relevance_mass_accuracy**: the share of the map's mass that lies on the fracture.
- **relevance_rank_accuracy**: the share of the fracture among the map's highest pixels, as many as the fracture has.
  The calibrated alignment in the ranking is this one's.
- **attribution_localisation**: the share of the positive mass that lies on the fracture.
- **top_k_intersection**: the share of the map's k highest pixels that lies on the fracture; k is 5 % of the picture.
- **auc**: how often a pixel of the fracture has a higher value than another pixel; .5 by chance.
- **iou**: the overlap of the fracture with the pixels above Otsu's threshold, over what the two cover together.
- **hit**: the map's peak lies on the fracture, tolerance included. **instance_recall**: the share of an image's
  fractures that are found, **instance_hit** whether one is.
- **Blank**: a map that is zero, constant or not finite. It scores 0 in every metric.
- **Baseline**: a map that shows nothing a model has learned (random, centre, edges; *randomised* is the network with
  random weights). What an explainer does not do better than these, it owes to the picture.
- **reader**, the human ceiling: the marks of a second annotator, scored like a map; where a dataset has none, the
  annotation with the tolerance around it. **mean_mask**: where training fractures lie, whatever the image.
- **True positives**: fractured images that are right without an attack. Of these, **survived** are still right under
  the attack and **flipped** are not: whether a model looks elsewhere when it is fooled. The two hold different
  images, so compare calibrated scores, and mind n.
- **Rank correlation** (Spearman's, of all pixels) and **top overlap** (share of the highest 5 % of pixels in common;
  .05 by chance): how much of a map an attack leaves. 1 is a map that did not change.
- **Explanation attack**: it moves the map while the answer stays. **Robust alignment** is what is left of the
  alignment after it, on the images that are answered as before (**answer kept**).
- **Pixel flipping**: the mean probability of a fracture while pixels turn black in the order of the map; lower is
  more faithful to what the model uses, whether or not that is the fracture. **Sparseness**: the Gini index of a map,
  0 for an even one and near 1 for a point.
- **Concentration**: the share of a map's mass in the highest 5 % of pixels, .05 for a flat map and 1 for a point.
  **Outside anatomy**: the share of the mass beside bone and soft tissue. Normal images have
  no fracture to point at: a map as concentrated there as on fractured ones points at something else.
- Brackets are 95 % intervals by bootstrap over patients or groups; n is the number of images.
"""

COMPARE = """
- **Difference**: the first entry's score less the second's, both on the same images.
- **Interval**: 95 %, by bootstrap over patients or groups, with the same draws for both entries.
- **p**: how often a difference at least as large comes about when the two entries are swapped at random within each
  group of images, of 20,000 times. **Corrected**: for all lines of the table together (Holm).
- **Outcome**: *missed already* (a fracture) and *false alarm already* are wrong without an attack; *missed under
  attack* and *false alarm under attack* are right until an attack of the benchmark breaks them; *survived* is right
  under all of them; *not attacked*: no attack came to an end on it, which the scores count as broken.
"""

CASES = """
- **Margin**: the logit of the true class less the other's; below 0 the answer is wrong. Cases are sorted by the margin
  without an attack, the lowest first.
- **Outcome**: *missed already* (a fracture) and *false alarm already* are wrong without an attack; *missed under
  attack* and *false alarm under attack* are right until an attack of the benchmark breaks them; *survived* is right
  under all of them; *not attacked*: no attack came to an end on it, which the scores count as broken.
- **Under attack** is the strongest attempt on this image, whether or not it broke the answer.
- **Perturbation**: what the attack changed, grey where nothing; black and white are plus and minus epsilon, or, four
  times as sensitive, a quarter of it.
- **Lesion size**: thirds of the annotated images by the share of the picture that is fracture.
- **Hit**: the map's peak lies on the fracture, tolerance included, for at least half of the headline's explainers.
  Maps are scaled each by its own maximum, and drawn
  by their square roots, so that weak parts can be seen too.
- Only some images of a benchmark come with pictures (24 at most).
"""

QUESTION = """
- **Robust balanced accuracy** and **calibrated alignment** are those of the ranking; controls and entries that are not
  ranked are left out.
- **Spearman's rho**: how far the order of entries by one number is their order by the other, from -1 to 1; Kendall's
  tau counts pairs in order. **p**: how often shuffled entries give one at least as far from 0.
- **Training pairs** are a standard and an adversarially trained entry of the same network, stated data and seed. Of all
  pairs together p says how often swapping the two within pairs gives a change at least as large; **detectable** is the
  change that a t test on so many pairs would find four times in five.
- **Raw alignment**: the mean score of the maps, not calibrated, since the two of a pair share chance and ceiling.
"""
