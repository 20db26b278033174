<?php

/** A test of the base package: a build strips it. */

declare(strict_types=1);

assert(true);
