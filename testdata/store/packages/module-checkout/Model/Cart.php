<?php

declare(strict_types=1);

namespace Magento\Checkout\Model;

use Magento\Catalog\Api\ProductRepositoryInterface;

class Cart
{
    /** @var array<string, int> */
    private array $quantities = [];

    public function __construct(private ProductRepositoryInterface $products)
    {
    }

    public function add(string $sku, int $quantity = 1): static
    {
        $this->quantities[$sku] = ($this->quantities[$sku] ?? 0) + $quantity;
        return $this;
    }

    /** The total in the smallest unit of the currency. */
    public function getTotal(): int
    {
        $total = 0;
        foreach ($this->quantities as $sku => $quantity) {
            $total += $quantity * $this->products->get($sku)->getPrice();
        }
        return $total;
    }
}
