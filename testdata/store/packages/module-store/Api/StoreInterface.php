<?php

declare(strict_types=1);

namespace Magento\Store\Api;

interface StoreInterface
{
    public function getCode(): string;

    public function getLocale(): string;
}
