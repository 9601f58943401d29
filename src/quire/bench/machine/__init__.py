"""Which machine is this, and what else does it do meanwhile?"""
