<?php

declare(strict_types=1);

namespace Magento\Catalog\Model;

class Product
{
    public function __construct(private string $sku, private int $price = 0)
    {
    }

    public function getSku(): string
    {
        return $this->sku;
    }

    /** The price in the smallest unit of the currency. */
    public function getPrice(): int
    {
        return $this->price;
    }
}
