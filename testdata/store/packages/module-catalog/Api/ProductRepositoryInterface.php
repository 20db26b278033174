<?php

declare(strict_types=1);

namespace Magento\Catalog\Api;

use Magento\Catalog\Model\Product;

interface ProductRepositoryInterface
{
    public function get(string $sku, bool $editMode = false, ?int $storeId = null): Product;

    /** @return Product[] */
    public function getList(int|string ...$skus): array;
}
