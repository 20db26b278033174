<?php

declare(strict_types=1);

namespace Acme\Delivery\Model;

class Slot
{
    public function __construct(private int $hour = 9)
    {
    }

    public function getLabel(): string
    {
        return sprintf('%02d:00-%02d:00', $this->hour, $this->hour + 2);
    }
}
