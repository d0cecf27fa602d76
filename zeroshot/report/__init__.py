"""What tables, figures and the page show: test images with answers, classes, confusions, the papers' figures."""
