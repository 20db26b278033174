<?php

declare(strict_types=1);

namespace Magento\Framework\Console;

final class InvalidInput extends \RuntimeException
{
}
