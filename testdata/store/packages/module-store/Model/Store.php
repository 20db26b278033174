<?php

declare(strict_types=1);

namespace Magento\Store\Model;

use Magento\Store\Api\StoreInterface;

class Store implements StoreInterface
{
    public function __construct(private string $code = 'default', private string $locale = 'en_US')
    {
    }

    public function getCode(): string
    {
        return $this->code;
    }

    public function getLocale(): string
    {
        return $this->locale;
    }
}
