"""Which numbers stand side by side, in a page or on a terminal?"""
