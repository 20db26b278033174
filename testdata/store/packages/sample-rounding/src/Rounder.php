<?php

declare(strict_types=1);

namespace Sample\Rounding;

/** Rounds amounts of money, given in the smallest unit, to a step: 5 for Swiss francs paid in cash. */
final class Rounder
{
    public function __construct(private int $step = 1)
    {
        if ($step < 1) {
            throw new \InvalidArgumentException("the step must be 1 or more, not $step");
        }
    }

    public function round(int $amount): int
    {
        return intdiv($amount + intdiv($this->step, 2), $this->step) * $this->step;
    }
}
