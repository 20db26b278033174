<?php

declare(strict_types=1);

namespace Magento\Catalog\Test\Unit\Model;

use Magento\Catalog\Model\Product;

final class ProductTest
{
    public function testKeepsItsPrice(): void
    {
        assert((new Product('mug', 1298))->getPrice() === 1298);
    }
}
