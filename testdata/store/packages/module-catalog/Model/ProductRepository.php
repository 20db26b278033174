<?php

declare(strict_types=1);

namespace Magento\Catalog\Model;

use Magento\Catalog\Api\ProductRepositoryInterface;

class ProductRepository implements ProductRepositoryInterface
{
    private const PRICES = ['mug' => 1298, 'tee' => 2499];

    public function __construct(private ProductFactory $productFactory, private Indexer\Proxy $indexer)
    {
    }

    public function get(string $sku, bool $editMode = false, ?int $storeId = null): Product
    {
        if (!isset(self::PRICES[$sku])) {
            throw new \OutOfBoundsException("The product that was requested doesn't exist: $sku");
        }
        return $this->productFactory->create(['sku' => $sku, 'price' => self::PRICES[$sku]]);
    }

    public function getList(int|string ...$skus): array
    {
        return array_map(fn($sku): Product => $this->get((string) $sku), $skus ?: array_keys(self::PRICES));
    }

    public function reindex(): void
    {
        $this->indexer->run(array_keys(self::PRICES));
    }
}
