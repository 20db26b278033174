<?php

declare(strict_types=1);

namespace Magento\Csp\Model;

class Policy
{
    public function getHeader(): string
    {
        return "default-src 'self'";
    }
}
