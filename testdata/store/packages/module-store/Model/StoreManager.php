<?php

declare(strict_types=1);

namespace Magento\Store\Model;

use Magento\Store\Api\StoreInterface;

class StoreManager
{
    /** @var array<string, StoreInterface> */
    private array $stores = [];

    public function __construct(private StoreFactory $storeFactory)
    {
    }

    public function get(string $code, string $locale): StoreInterface
    {
        return $this->stores[$code] ??= $this->storeFactory->create(['code' => $code, 'locale' => $locale]);
    }
}
