<?php

declare(strict_types=1);

namespace Magento\Store\Test\Unit\Model;

use Magento\Store\Model\Store;

final class StoreTest
{
    public function testKeepsItsCode(): void
    {
        assert((new Store('de', 'de_DE'))->getCode() === 'de');
    }
}
