<?php

declare(strict_types=1);

namespace Sample\Rounding\Tests;

use Sample\Rounding\Rounder;

final class RounderTest
{
    public function testRoundsToTheStep(): void
    {
        assert((new Rounder(5))->round(1298) === 1300);
    }
}
