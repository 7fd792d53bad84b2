"""Images: MNIST, CIFAR-10, bark, dead leaves, and folders of your own."""
