<?php

declare(strict_types=1);

namespace Sample\Loyalty\Plugin;

use Magento\Checkout\Model\Cart;
use Sample\Rounding\Rounder;

class RoundTotal
{
    public function __construct(private int $step = 1)
    {
    }

    public function afterGetTotal(Cart $cart, int $total): int
    {
        return (new Rounder($this->step))->round($total);
    }
}
