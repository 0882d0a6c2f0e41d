# Measurements; built with everything else, installed nowhere.
