<?php

declare(strict_types=1);

namespace Acme\Delivery\Test\Unit\Model;

use Acme\Delivery\Model\Slot;

final class SlotTest
{
    public function testNamesItsHours(): void
    {
        assert((new Slot(9))->getLabel() === '09:00-11:00');
    }
}
