"""Which processes share a model's weights, and how do they join what each has computed?"""
